#!/usr/bin/env bash
# Handwritten digits read by three networks, from one layer to convolutions.
# scikit-learn brings the images: pip install scikit-learn, or point PYTHON to a python that has it.
. "$(dirname "$0")/../fitd.sh"

"$PYTHON" "$HERE/write_digits.py" "$OUT/digits.npz"
id=$(upload digits "$OUT/digits.npz" application/x-npz)
value digits '{rows} images {columns[0][shape]}, classes {columns[1][values]}'

echo
echo "model    train_accuracy  dev_accuracy  test_accuracy  test_f1"
for name in softmax mlp cnn; do
    sed "s/DATASET/$id/" "$HERE/$name.json" | train $name
    value $name '{name:8} {result[metrics][train][accuracy]:14.4f} {result[metrics][dev][accuracy]:13.4f} {result[metrics][test][accuracy]:14.4f} {result[metrics][test][f1]:8.4f}'
done

echo
for name in softmax mlp cnn; do
    pictures $name loss confusion weights
done
