# The commands of this project. `make` alone lists them.
#   make up                        set up, deploy, draw a picture (stack "local")
#   make up STACK=mine             the same on GKE, with the official Pulumi CLI
#   make generate PROMPT="..."     draw what you say

# The settings count only on make's command line: an exported PROMPT is often the shell's own, and
# an exported ENGINE or STACK another program's. They are text, in which make expands nothing;
# recipes read them from the environment ("$$PROMPT"), so that the shell expands nothing either.
# Only ARGS is inserted into a recipe, for the shell to split into words.
given = $(if $(filter command,$(origin $1)),$(value $1),$2)
override STACK   := $(call given,STACK,local)
override PROMPT  := $(call given,PROMPT,a large blue star on a black background)
override ARGS    := $(call given,ARGS)
override ENGINE  := $(call given,ENGINE)
override OUT     := $(call given,OUT)
override FROM    := $(call given,FROM,dev)
override PROJECT := $(call given,PROJECT)
override RANGES  := $(call given,RANGES)
override LICENCE := $(call given,LICENCE)
override NAME    := $(call given,NAME)
override ROTATE  := $(call given,ROTATE)
override FOLLOW  := $(call given,FOLLOW)
override WORKERS := $(call given,WORKERS,2)
override FOUND_PYTHON := $(call given,FOUND_PYTHON)

VENV   := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest --numprocesses="$$WORKERS"
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
HAS_PACKAGES := import importlib.util, sys; sys.exit(importlib.util.find_spec("pulumi") is None)

# The official CLI runs every stack; without it, the embedded engine runs "local". (The redirection
# makes older versions of make use a shell, whose builtin `command` is.)
ifeq ($(ENGINE),)
  override ENGINE := $(if $(shell command -v pulumi 2>/dev/null),pulumi,embedded)
endif
ifeq ($(ENGINE),embedded)
  PULUMI = $(PYTHON) -m engine
else ifeq ($(ENGINE),pulumi)
  PULUMI = pulumi
else
  $(error ENGINE must be pulumi or embedded)
endif

# The checkout's own backend; in a URL, these characters of a folder's name mean something else.
HASH := \#
BACKEND_URL := file://$(subst ?,%3F,$(subst $(HASH),%23,$(subst %,%25,$(CURDIR))))/.state

ifeq ($(STACK),local)
  export PULUMI_BACKEND_URL := $(BACKEND_URL)
  export PULUMI_CONFIG_PASSPHRASE :=
  export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION := true
  export PULUMI_SKIP_UPDATE_CHECK := true
endif
export STACK PROMPT ENGINE OUT FROM PROJECT RANGES LICENCE NAME ROTATE FOLLOW WORKERS FOUND_PYTHON

# What `pulumi` starts meets on loopback, which a proxy in the environment cannot reach.
COMMA := ,
LOOPBACK := 127.0.0.1,localhost,::1
DIRECT := $(or $(value no_grpc_proxy),$(value no_proxy),$(value NO_PROXY))
export no_grpc_proxy := $(LOOPBACK)$(if $(DIRECT),$(COMMA)$(DIRECT))

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev stack key up preview refresh render dashboard down unlock generate page load status doctor logs env \
        setup-browser test test-quick test-long screenshots setup-bench bench bench-quick bench-engine bench-servers protos lock lint clean \
        _ready _engine _rebuild _file _stack _destroy _down_local

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  settings: STACK=%s  ENGINE=%s  PROMPT="%s"\n' "$$STACK" "$$ENGINE" "$$PROMPT"

setup: $(VENV)/.installed ## create the virtual environment .venv with the pinned packages

# Its Python is a link to one that an update of the system may remove, or replace by another version,
# which does not see the packages: then it is made again.
ifneq ($(wildcard $(VENV)/.installed),)
  ifneq ($(shell $(PYTHON) -c '$(HAS_PACKAGES)' >/dev/null 2>&1 || echo broken),)
    $(VENV)/.installed: _rebuild
  endif
endif

$(VENV)/.installed: requirements.txt constraints.txt
	@found="$$FOUND_PYTHON"; [ -n "$$found" ] || \
	  for p in python3 python3.13 python3.12 python3.11; do \
	    if "$$p" -c '$(IS_SUPPORTED)' >/dev/null 2>&1; then found=$$p; break; fi; done; \
	[ -n "$$found" ] || { \
	  echo "error: no Python 3.11, 3.12 or 3.13 on PATH; install one, or name it: make setup FOUND_PYTHON=/path/to/python3.12"; exit 1; }; \
	echo "setting up $(VENV): a few minutes the first time (TensorFlow is about 600 MB)"; \
	$(PYTHON) -c '' 2>/dev/null || rm -rf $(VENV); \
	"$$found" -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

setup-dev: $(VENV)/.installed-dev ## setup, plus the packages for tests and training

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

setup-browser: ## install Chromium, for the tests of the page (Debian, as root)
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	  echo "error: no Chromium on PATH; install your system's package (as root on Debian: apt-get install chromium), or Google Chrome"; exit 1; fi; \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null

stack: $(VENV)/.installed ## make your own stack's file: STACK=mine FROM=dev PROJECT=... LICENCE="..."
	@$(PYTHON) -m infra.settings.own_stack --stack="$$STACK" --from="$$FROM" \
	  $${PROJECT:+"gcp:project=$$PROJECT"} $${RANGES:+"allowedSourceRanges=$$RANGES"} \
	  $${LICENCE:+"acceptLicence=$$LICENCE"} $(ARGS)

_ready: _engine $(VENV)/.installed

_rebuild:
	@echo "the Python in $(VENV) does not start, or does not find the packages"

_engine:
	@case "$$STACK" in ''|-*|*[!A-Za-z0-9_./-]*) \
	  echo "error: STACK must be the name of a stack (letters, digits, hyphens, underscores and periods), such as STACK=dev"; exit 1;; esac
	@if [ "$$ENGINE" = pulumi ] && ! command -v pulumi >/dev/null; then \
	  echo "error: ENGINE=pulumi needs the Pulumi CLI; install it from https://www.pulumi.com/docs/install/"; exit 1; fi
	@if [ "$$STACK" != local ] && [ "$$ENGINE" != pulumi ]; then \
	  echo "error: stack \"$$STACK\" needs the official Pulumi CLI (only \"local\" runs without it); install it from https://www.pulumi.com/docs/install/ and run again"; exit 1; fi

# What the embedded engine tells people to type. `make down` itself removes the stack.
up preview refresh _stack _destroy: export ENGINE_HINT_CANCEL := make unlock
_destroy: export ENGINE_HINT_STACK_RM :=

# On a cluster, only what deploys makes a stack: to take down a mistyped name is an error.
CREATE := $(if $(filter local,$(STACK)),--create)
up preview: CREATE := --create

_stack: _ready
	@$(PYTHON) -m infra.local.state prepare --stack "$$STACK"
	@if [ "$$STACK" = local ]; then $(PYTHON) -m engine unlock-stale --stack local; \
	else $(PYTHON) -m infra.gke.credentials --stack "$$STACK" && \
	  { [ -z "$(CREATE)" ] || $(PYTHON) -m infra.settings.committed --stack "$$STACK"; }; fi
	@$(PULUMI) stack select $(CREATE) --stack "$$STACK" || { [ -n "$(CREATE)" ] || \
	  echo "error: stack \"$$STACK\" cannot be selected: \`pulumi stack ls\` lists those of the backend that you are logged in to"; exit 1; }

# A stack without a file would have the defaults, and serve on this machine.
_file: _engine
	@name="$${STACK##*/}"; if [ "$$name" != local ] && [ ! -f "Pulumi.$$name.yaml" ]; then \
	  echo "error: there is no Pulumi.$$name.yaml; make it with your settings: make stack STACK=$$STACK FROM=dev PROJECT=... LICENCE=..."; exit 1; fi

key: _file _ready ## draw a key for STACK's web service: NAME=alice; ROTATE=1 replaces the one it has
	@[ "$$STACK" = local ] || { $(PYTHON) -m infra.settings.committed --stack "$$STACK" && \
	  $(PULUMI) stack select --create --stack "$$STACK"; }
	@$(PYTHON) -m infra.settings.new_key --stack "$$STACK" --name="$$NAME" $${ROTATE:+--rotate}

up: _file _stack ## deploy the stack, then draw a first picture
	@$(PULUMI) up --yes --refresh --stack "$$STACK"
	@$(PYTHON) -m client first-picture --stack "$$STACK" --prompt="$$PROMPT"

preview: _file _stack ## show what `make up` would change
	@$(PULUMI) preview --refresh --stack "$$STACK"

render: $(VENV)/.installed ## show what STACK would create, without a cloud; OUT=folder writes manifests
	@$(PYTHON) -m render --stack="$$STACK" $${OUT:+"--out=$$OUT"}

dashboard: $(VENV)/.installed ## write dashboards for Grafana and rules for Prometheus to OUT (out)
	@$(PYTHON) -m dashboards --out="$${OUT:-out}" $(ARGS)

refresh: _stack ## update the stack's state to match what really runs
	@$(PULUMI) refresh --yes --stack "$$STACK"

NO_LOCAL_STACK := nothing to take down: there is no stack "local"

down: _engine ## destroy the stack; pictures, packages and settings stay
ifeq ($(STACK),local)
	@if [ -d .state ]; then $(MAKE) --no-print-directory _down_local; else echo '$(NO_LOCAL_STACK)'; fi
else
	@$(MAKE) --no-print-directory _destroy
endif

_destroy: _stack
ifneq ($(STACK),local)
	@$(PYTHON) -m client.doctor.orphans --stack "$$STACK"
endif
	@$(PULUMI) destroy --yes --refresh --stack "$$STACK"
	@$(PULUMI) stack rm --yes --preserve-config --stack "$$STACK"

# In a copied checkout, `prepare` leaves nothing to destroy.
_down_local: _ready
	@$(PYTHON) -m infra.local.state prepare --stack local
	@if ls .state/.pulumi/stacks/*/local.json* >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory _destroy; else echo '$(NO_LOCAL_STACK)'; fi
	@$(PYTHON) -m infra.local.state remove

# `pulumi cancel` would remove the lock of an operation that runs.
unlock: _ready ## remove the stack's lock, which an operation on another machine left
ifeq ($(STACK),local)
	@if [ -d .state ]; then $(PYTHON) -m engine cancel --yes --stack local; \
	else echo 'nothing to unlock: there is no stack "local"'; fi
else
	@$(PULUMI) cancel --yes --stack "$$STACK"
endif

generate: _ready ## draw a picture: make generate PROMPT="a small red circle on white"
	@$(PYTHON) -m client generate --stack "$$STACK" --prompt="$$PROMPT" $(ARGS)

page: _ready ## show where the page is; on a cluster, bring it to this machine until Ctrl-C
	@$(PYTHON) -m client page --stack "$$STACK"

load: _ready ## load-test with 50 requests, 5 at a time; ARGS="--help" shows the options
	@$(PYTHON) -m client load --stack "$$STACK" $(ARGS)

status: _ready ## show whether the service is up, and its model
	@$(PYTHON) -m client status --stack "$$STACK" $(ARGS)

doctor: _ready ## diagnose STACK's service: what is wrong, and what to do
	@$(PYTHON) -m client doctor --stack "$$STACK"

LOGS := .state/server/server.log .state/web/web.log

logs: ## show the ends of the local servers' logs; FOLLOW=1 follows them
ifeq ($(STACK),local)
	@set --; for log in $(LOGS); do [ ! -f $$log ] || set -- "$$@" $$log; done; \
	if [ $$# -gt 0 ]; then tail -n 100 $${FOLLOW:+-f} "$$@"; \
	else echo "there is no log; start the local servers with: make up"; fi
else
	@echo "error: make logs shows only the local servers' logs; for a pod's: make doctor STACK=$$STACK" >&2; exit 1
endif

# In single quotes for a shell.
quoted = '$(subst ','\'',$1)'

env: ## print the environment for running `pulumi` on the stack local: eval "$(make env)"
ifeq ($(STACK),local)
	@printf '%s\n' $(call quoted,export PULUMI_BACKEND_URL=$(call quoted,$(BACKEND_URL))) \
	  "export PULUMI_CONFIG_PASSPHRASE=''" \
	  'export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true' \
	  'no_grpc_proxy="$${no_grpc_proxy:-$${no_proxy:-$$NO_PROXY}}"' \
	  'export no_grpc_proxy="$(LOOPBACK)$${no_grpc_proxy:+,$$no_grpc_proxy}"' \
	  $(call quoted,mkdir -p $(call quoted,$(CURDIR)/.state)) \
	  'echo "This shell is for the stack local; use another one for stacks with a backend of their own." >&2'
else
	@echo 'error: `make env` is only for the stack local; other stacks use your own `pulumi login`' >&2; exit 1
endif

test: $(VENV)/.installed-dev ## all tests; WORKERS=4 for more at a time
	@$(PYTEST) -m "not long" --durations=10 $(ARGS)

test-quick: $(VENV)/.installed-dev ## the fast tests, in under two minutes: before each commit
	@$(PYTEST) -m "not long and not slow" $(ARGS)

test-long: $(VENV)/.installed-dev ## all tests, with their long forms
	@$(PYTEST) --durations=10 $(ARGS)

screenshots: $(VENV)/.installed-dev ## write docs/page-*.png, with the demo model
	@SCREENSHOTS_FOLDER=docs $(PYTHON) -m pytest -q -k screenshots tests/web/page/browser/test_demo_model.py

setup-bench: $(VENV)/.installed-dev ## install the engines that `make bench` compares with (torch is large)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt -c constraints.txt

bench: $(VENV)/.installed-dev ## benchmark against other engines; writes docs/benchmarks.md (an hour)
	@$(PYTHON) -m bench.speed $(ARGS)

bench-quick: $(VENV)/.installed-dev ## a short benchmark with few steps of small pictures; writes nothing
	@$(PYTHON) -m bench.speed --quick $(ARGS)

bench-engine: $(VENV)/.installed-dev ## compare both deployment engines on an `up` without changes
	@$(PYTHON) bench/engine_noop.py $(ARGS)

bench-servers: $(VENV)/.installed-dev ## compare two servers behind the client with one, on a core each
	@$(PYTHON) -m bench.two_servers $(ARGS)

protos: $(VENV)/.installed-dev ## write tfserving/*_pb2.py from the .proto files
	@$(PYTHON) -m grpc_tools.protoc -I . --python_out="$${OUT:-.}" --pyi_out="$${OUT:-.}" tfserving/*.proto

lock: $(VENV)/.installed ## write web/requirements.lock from web/requirements.txt, for Linux
	@$(PYTHON) -m container_image.lock

lint: $(VENV)/.installed-dev ## run ruff and pyright
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m pyright

clean: ## remove caches (not the virtual environment, the state or the pictures)
	@rm -rf .pytest_cache .ruff_cache .hypothesis .cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
