"""The memory bench measures each thing in a process of its own."""

from rspnet.lab.bench.bench_memory import bench_memory


def test_rows() -> None:
    result = bench_memory(backbone="r3d_10_slim", batch_size=2, videos=0)
    plain, saving = result["rows"]
    assert (plain["activation_checkpointing"], saving["activation_checkpointing"]) == (False, True)
    for row in result["rows"]:
        assert 0 < row["above_start_mib"] < row["peak_mib"]
        assert row["step_s"] > 0
    assert result["less_above_start"] < 1
    assert "loader_growth_mib" not in result
