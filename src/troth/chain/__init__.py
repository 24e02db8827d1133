"""The ledger: a genesis, blocks that follow from it, and who may make the next one."""
