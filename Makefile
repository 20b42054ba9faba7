# A thin front of CMake. `make help` lists the targets.

BUILD := build
CMAKE_FLAGS := -G Ninja -DCMAKE_BUILD_TYPE=Release

all: ## build build/fashionbert, build/libfashionbert.a and .so
	@./setup build
	@test -f $(BUILD)/build.ninja || \
	    cmake -S . -B $(BUILD) $(CMAKE_FLAGS) -DFB_TESTS=OFF >/dev/null
	@cmake --build $(BUILD) --target fashionbert fashionbert_lib fashionbert_shared

test: ## the whole suite: release, sanitizers and short fuzz runs
	@./setup
	@tests/run_all.sh $(BUILD)

torture: ## 200 kills at random instants, a sweep of failing calls; half an hour
	@./setup
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) -DFB_TESTS=ON >/dev/null
	@cmake --build $(BUILD) --target fashionbert make_catalogue fail_nth
	@KILLS=200 bash tests/cli/cli_kills.sh $(CURDIR)/$(BUILD)
	@FAULT_SAMPLES=$${FAULT_SAMPLES:-200} bash tests/cli/cli_faults.sh $(CURDIR)/$(BUILD)

fuzz: ## every fuzz target for MINUTES=1 each; new inputs are kept under tests/fuzz/corpus
	@./setup
	@tests/fuzz_long.sh $(or $(MINUTES),1)

demo: all ## train a small model on a free catalogue and show what it finds
	@demo/run.sh

bench: all ## pairs a second and the share of the machine's matrix-product rate
	@$(BUILD)/fashionbert bench

format: ## clang-format every C file in place
	@find include src tests bench examples -name '*.[ch]' 2>/dev/null | xargs clang-format -i

format-check: ## fail when clang-format would change a C file
	@tests/check_format.sh

tidy: ## clang-tidy over src/
	@./setup
	@cmake -S . -B build-tidy $(CMAKE_FLAGS) -DCMAKE_C_COMPILER=clang -DFB_TESTS=OFF >/dev/null
	@run-clang-tidy -quiet -p build-tidy "$(CURDIR)/src/.*"

clean: ## remove what was built
	@rm -rf $(BUILD) build-asan build-fuzz build-tsan build-tidy

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

.PHONY: all test torture fuzz demo bench format format-check tidy clean help
