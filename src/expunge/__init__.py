"""Make trained models forget, and prove that they did."""
