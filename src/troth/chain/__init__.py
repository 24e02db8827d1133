"""Any chain of blocks: how blocks are sealed, kept, chosen among, audited and exported. What is in
them, and when it holds, their protocol says (`ChainKind`)."""
