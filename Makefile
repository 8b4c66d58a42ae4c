VENV ?= .venv
install: ; test -d $(VENV) || python3 -m venv $(VENV); $(VENV)/bin/pip install -q -c constraints.txt -e '.[dev]'
