"""Writes Refer-YouTube-VOS as TFRecords.

    python tfrecords/build_refer_youtube_vos.py --source=DIR --output=RECORDS

DIR is laid out as it is distributed:

    train/JPEGImages/<video>/<frame>.jpg
    train/Annotations/<video>/<frame>.png      object numbers
    meta_expressions/train/meta_expressions.json

A record is one annotated frame (tfrecords/README.md lists its fields), of each
video --frames_per_video evenly spaced ones. What became no sample is counted
by reason in manifest.json and named, item by item, in excluded.csv. The split
valid tells no objects: evaluate.py --benchmark=refer_youtube_vos writes its
masks for the server. --check compares with the published counts.
"""

import listed_videos

from keras_vas import command_line

DATASET = "refer_youtube_vos"
SPLITS = {"train": "train"}
PUBLISHED = {"train": {"videos": 3471}}


def main(_):
    """Writes the records and reports."""
    listed_videos.main(DATASET, SPLITS, PUBLISHED)


if __name__ == "__main__":
    listed_videos.define_flags(DATASET, shards=32)
    command_line.run(main)
