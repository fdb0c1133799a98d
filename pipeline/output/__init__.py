"""What a run leaves behind: commits, run.json, the lease, and the commands that read them.

The commits are the only truth about progress. Imports no torch and no Ray. May import `manifest`, `audio`, `storage`,
`config` and `errors`.
"""
