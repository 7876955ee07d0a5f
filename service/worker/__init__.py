"""Workers: the dispatcher claims jobs, an executor places them, a runner trains them."""
