"""Writes Ref-DAVIS17 as TFRecords.

    python tfrecords/build_ref_davis17.py --source=DIR --output=RECORDS

DIR is laid out as after the usual conversion to Refer-YouTube-VOS' layout:

    {train,valid}/JPEGImages/<video>/<frame>.jpg
    {train,valid}/Annotations/<video>/<frame>.png      object numbers, 255 void
    meta_expressions/{train,valid}/meta_expressions.json

A record is one annotated frame (tfrecords/README.md lists its fields), of each
video --frames_per_video evenly spaced ones. What became no sample is counted
by reason in manifest.json and named, item by item, in excluded.csv. The split
valid becomes "test". --check compares with the published counts.
"""

import listed_videos

from keras_vas import command_line

DATASET = "ref_davis17"
SPLITS = {"train": "train", "test": "valid"}
PUBLISHED = {"train": {"videos": 60}, "test": {"videos": 30}}


def main(_):
    """Writes the records and reports."""
    listed_videos.main(DATASET, SPLITS, PUBLISHED)


if __name__ == "__main__":
    listed_videos.define_flags(DATASET, shards=8)
    command_line.run(main)
