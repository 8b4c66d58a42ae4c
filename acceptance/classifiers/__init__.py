"""Part `classifiers`: published systems that forget classes and records of classifiers."""
