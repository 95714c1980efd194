import os
import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import pytest

# Before anything imports pyplot: tests draw into memory, on machines without a screen.
mpl.use("Agg")


@pytest.fixture(scope="session")
def dask_client(tmp_path_factory):
    """Two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=":0",  # any port: there is a warning where the usual one is taken
        local_directory=tmp_path_factory.mktemp("dask"),
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def spark():
    """A session in local mode with two executor threads."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java, which is not here")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": tempfile.mkdtemp(),
    }
    builder = sql.SparkSession.builder.master("local[2]").appName("bayeslmm")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as environment:
        # What its tasks run, and where they find this package and the tests' own functions.
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        here = Path(__file__).parent
        environment.setenv("PYTHONPATH", os.pathsep.join(map(str, (here, here.parent))))
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture
def closed(name):
    """Skip what takes effects that integrate out, where the structure `name` has others."""
    import trees

    if name in trees.IN_SIGMA:
        pytest.skip("over effects in sigma no integral has a closed form")
