#!/usr/bin/env bash
# A convolutional network on files in MNIST's own layout. Written are such files from scikit-learn's digits; with
# MNIST=FOLDER the ones in FOLDER are taken: train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz.
. "$(dirname "$0")/../fitd.sh"

folder=${MNIST:-$OUT}
[ -n "${MNIST:-}" ] || "$PYTHON" "$HERE/write_idx.py" "$folder"

# Two files, one table: the labels are joined to the images, row by row.
images=$(upload images "$folder/train-images-idx3-ubyte.gz" application/x-idx)
both=$(upload mnist "$folder/train-labels-idx1-ubyte.gz" application/x-idx "join=$images")
value mnist '{rows} images {columns[0][shape]} of {columns[0][dtype]}, classes {columns[1][values]}'

sed "s/DATASET/$both/" "$HERE/cnn.json" | train cnn
losses cnn

echo
echo "epoch  train_loss  dev_loss"
awk -F, 'NR > 1 {printf "%5d %11.4f %9.4f\n", $1, $2, $3}' "$OUT/cnn.csv"
echo
value cnn '{stop_reason} after {progress[epoch]} epochs; kept is epoch {result[kept_epoch]}'
value cnn 'accuracy: train {result[metrics][train][accuracy]:.4f}, dev {result[metrics][dev][accuracy]:.4f}, test {result[metrics][test][accuracy]:.4f}'

echo
pictures cnn loss confusion weights
