"""Speed, measured: see `bench_forward` and `report`."""
