# Two commands on a fresh machine: `make demo` runs the main job, `make test` the tests; `make test-all` all of them.
PYTHON ?= python3
VENV ?= .venv
BACKENDS ?= tensorflow jax torch
DEMO_OUT ?= runs/demo

.PHONY: demo test test-all test-docs test-lowest lint docs wheel notebook

$(VENV)/demo.ok: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable ".[demo]"
	touch $@

$(VENV)/test.ok: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(VENV)/demo.ok
	$(VENV)/bin/eesmm demo --out $(DEMO_OUT)

# All backends run even if one fails; the exit status is then that of a failure. `make test` leaves out what is
# marked slow (tests/slow_tests.yaml), `make test-all` nothing.
test: CHOSEN = -m "not slow"
test test-all: $(VENV)/test.ok lint
	@status=0; for backend in $(BACKENDS); do \
		echo "== $$backend"; \
		KERAS_BACKEND=$$backend $(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal $(CHOSEN) || status=1; \
	done; exit $$status

# The commands and programs of all pages, on small data.
test-docs: $(VENV)/test.ok
	EESMM_ALL_DOCS=1 KERAS_BACKEND=tensorflow $(VENV)/bin/python -m pytest tests/test_docs_run.py

# With the oldest dependencies: tests of reading, settings, commands and reports, which are cheap.
LOWEST = data_formats data_decoding data_reading settings cli_lists cli_boundary reports neighbours \
	evaluation_classifier hog docs list automatic

$(VENV)-lowest/test.ok: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lowest/bin/python -m pip install --quiet --editable ".[tiff,dicom,heic]" --constraint constraints-lowest.txt \
		"pytest>=9,<10" scikit-image
	touch $@

test-lowest: $(VENV)-lowest/test.ok
	KERAS_BACKEND=tensorflow $(VENV)-lowest/bin/python -m pytest $(LOWEST:%=tests/test_%.py)

lint: $(VENV)/test.ok
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)-docs/docs.ok: pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-docs/bin/python -m pip install --quiet --group docs
	touch $@

# The site, in site/. Docstrings are read from the source: the package is not installed.
docs: $(VENV)-docs/docs.ok
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build
	! grep -rE '(src|stylesheet" href)="https?:' --include='*.html' site  # nothing from the network

# Wheel and sdist in dist/; the wheel is installed into a fresh environment and asked for help from another folder.
wheel:
	rm -rf dist build $(VENV)-wheel
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --upgrade pip build
	$(VENV)-wheel/bin/python -m build --quiet
	$(VENV)-wheel/bin/python -m pip install --quiet dist/*.whl
	$(VENV)-wheel/bin/python -m pip check
	wheel=$$(cd $(VENV)-wheel && pwd) && cd / && $$wheel/bin/eesmm --version && $$wheel/bin/eesmm list backbones

# The notebook, run anew with its outputs.
notebook: $(VENV)/test.ok
	$(VENV)/bin/python -m pip install --quiet --group notebook
	$(VENV)/bin/jupyter-execute --inplace docs/quickstart.ipynb
