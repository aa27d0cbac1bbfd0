# Each target says what it does: `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo demo-clean test torture fuzz check openapi static image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## fill a volume, start the sidecar (and nginx), print what to try; installs nothing
	@scripts/demo.sh

demo-clean: ## remove what the demo keeps
	rm -rf .demo

test: ## check everything; installs the parts that tests need, and says which
	@scripts/test.sh

torture: ## the long forms of the crash tests: thousands of power cuts, deaths and errors; takes an hour or two
	@scripts/test.sh parts torture

fuzz: ## look for inputs that break a promise, for an hour; scripts/fuzz.sh SECONDS for another time
	@scripts/fuzz.sh

check: ## format, lints, documentation, manifests, licences; no tests, installs nothing
	@scripts/test.sh format lint docs manifests licences advisories

openapi: ## write docs/openapi.json anew, from the table of routes
	@UPDATE_OPENAPI=1 cargo test --locked --features planted --lib openapi

static: ## the static binary of the image, and a proof that it needs nothing around it
	@scripts/static.sh

image: ## the container image, with docker, buildah or podman
	@scripts/image.sh

clean: ## remove everything that was built, the test parts too
	cargo clean
