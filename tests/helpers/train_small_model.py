"""Trains the small model: `python train_small_model.py RUN DEVICES`."""

import json
import pathlib
import sys

import small_model
import tensorflow as tf

run, devices = sys.argv[1], int(sys.argv[2])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * devices,
)
trainer = small_model.trainer(run)
trainer.restore()
best = trainer.train()
print(
    json.dumps(
        {
            "best": best,
            "replicas": trainer.steps.strategy.num_replicas_in_sync,
            "chief": trainer.chief,
            "files": sorted(p.name for p in pathlib.Path(run).rglob("*.npz")),
        }
    )
)
