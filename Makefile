# Each target is one line of cargo, plus what must be installed first.
CARGO ?= cargo
PYTHON ?= python3

.PHONY: demo test check claims bench parity data docs completions

demo: ## train small experts, merge them with every method, show the figures
	$(CARGO) run --release -- demo

test: check ## what CI runs: format, clippy, tests, doc tests
	$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest
	$(CARGO) nextest run --workspace --no-fail-fast
	$(CARGO) test --workspace --doc

check: ## format and lints
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

claims: ## run every published claim at full scale and rewrite docs/claims.md
	$(CARGO) run --release -- claim --all --scale full --out claims-out --markdown docs/claims.md

bench: ## side by side with mergekit, peft and PyTorch, as ratios; memory ceilings; timings of the library
	$(CARGO) build --release --workspace --examples --bins
	$(PYTHON) bench/run.py
	$(PYTHON) bench/lora.py
	$(PYTHON) bench/learned.py
	$(PYTHON) bench/memory.py
	$(CARGO) bench -p consilience-merging --bench merging -- --quick
	$(PYTHON) bench/optimization.py

parity: ## the same results as mergekit, on random checkpoints
	$(CARGO) build --release
	$(PYTHON) bench/parity.py

data: ## fetch the larger data sets into the cache folder
	$(CARGO) run --release -- data fetch --all

docs: ## the library's pages
	$(CARGO) doc --workspace --no-deps
