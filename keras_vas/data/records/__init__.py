"""A data set of records on disk: written in parallel, read by an index.

    RECORDS/manifest.json                     counts, checksums, exclusions
    RECORDS/<split>-00000-of-00008.tfrecord   the records
    RECORDS/<split>.index.csv                 key,shard,offset,queries
    RECORDS/excluded.csv                      reason,item

The manifest is written last: where it stands, the data set is complete.
"""

from keras_vas.data.records.manifest import read_manifest as read_manifest
from keras_vas.data.records.reader import CorruptRecord as CorruptRecord
from keras_vas.data.records.reader import RecordIndex as RecordIndex
from keras_vas.data.records.reader import corruption_error as corruption_error
from keras_vas.data.records.reader import join as join
from keras_vas.data.records.reader import read_index as read_index
from keras_vas.data.records.reader import verify as verify
from keras_vas.data.records.shard import Conversion as Conversion
from keras_vas.data.records.workers import default_workers as default_workers
from keras_vas.data.records.writer import write_dataset as write_dataset
