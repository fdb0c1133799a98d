"""Whole commands: a run, its dry run, an enrollment, a replay, a redo, a repair. What the files in `jobs/` call.

Composes the cluster and the output; may import everything but books, benchmarks and commands. `plan.py` checks,
`open_output.py` takes the lease, and the other modules work.

Each error class has one outcome, and this is where it is decided:

| error | outcome |
|---|---|
| ConfigError, ManifestError, WeightsError, SpeakerError | stop before work starts, exit 2 |
| UtteranceError, and anything a single row causes | the row's rejection; the run goes on |
| StorageError | the unit is tried again until nothing was committed for `storage.give_up_after_s`; then as below |
| StoreRefused, RunStopped | stop; what is committed is safe; exit 3 |
| a dead replica, lost objects | the units in flight are done again |
"""
