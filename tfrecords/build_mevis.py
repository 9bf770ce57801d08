"""Writes MeViS as TFRecords.

    python tfrecords/build_mevis.py --source=DIR --output=RECORDS

DIR is laid out as it is distributed:

    {train,valid_u}/JPEGImages/<video>/<frame>.jpg
    {train,valid_u}/mask_dict.json             {anno_id: [run length or null]}
    {train,valid_u}/meta_expressions.json

A sentence may mean several objects, whose masks are united, or none, whose
mask is empty. A record is one annotated frame (tfrecords/README.md lists its
fields), of each video --frames_per_video evenly spaced ones. What became no
sample is counted by reason in manifest.json and named, item by item, in
excluded.csv. The split valid_u becomes "test". --check compares with the
published counts.
"""

import listed_videos

from keras_vas import command_line

DATASET = "mevis"
SPLITS = {"train": "train", "test": "valid_u"}
PUBLISHED = {"train": {"videos": 1662}, "test": {"videos": 50}}


def main(_):
    """Writes the records and reports."""
    listed_videos.main(DATASET, SPLITS, PUBLISHED)


if __name__ == "__main__":
    listed_videos.define_flags(DATASET, shards=32)
    command_line.run(main)
