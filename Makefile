# Every target sets the machine up first; on a machine that has everything this takes a moment.
#   make demo    build, then the whole job on the embedded tiny stack: data, foundation, three stages, answers
#   make test    build, then all tests
#   make torture N=200   kills a training process that often at random moments; what it saved must survive
#   make golden DIR=FOLDER   compares with the reference's results in a folder laid out like Tests/Fixtures
#   make interop   loads what this package saves with transformers and diffusers, from PyPI, and compares the outputs
.PHONY: setup build demo test torture golden interop bench format clean
SWIFT_BUILD = swift build -c release --product vlsa

setup:
	@Scripts/setup.sh

build: setup
	@$(SWIFT_BUILD)

demo: build
	@Scripts/demo.sh "$$($(SWIFT_BUILD) --show-bin-path)/vlsa"

test: setup
	@Scripts/test.sh

N ?= 200
torture: setup
	@VLSA_KILLS=$(N) swift test --filter TortureTests

golden: setup
	@Scripts/golden.sh "$(DIR)"

interop: setup
	@Scripts/interop.sh

bench: build
	@Benchmarks/run.sh

format:
	@swift format --in-place --recursive Package.swift Sources Tests

clean:
	@rm -rf .build demo/work
