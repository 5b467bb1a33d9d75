"""Package metadata. Ranges live here; exact, hash-checked versions in requirements.lock (`make lock`)."""

from setuptools import find_packages, setup

# pyspark, delta-spark and the Delta jar are one triple: upgrade them in one commit.
STATISTICS = [
    "numpy>=2.0,<3",
    "scipy>=1.14,<2",
    "statsmodels>=0.14.4,<1",
    "pandas>=2.2,<3",
    "pyarrow>=18",
    "threadpoolctl>=3.5",
    "PyYAML>=6.0.2,<7",
    "sqlglot>=30.30,<31",
]
SPARK = ["pyspark==4.2.0", "delta-spark==4.4.0", "deltalake>=1.2,<2", "great-expectations==1.24.1"]
READOUT = ["deltalake>=1.2,<2", "Jinja2>=3.1,<4", "matplotlib>=3.9,<4", "mlflow>=3.1,<4"]
AIRFLOW = [
    "apache-airflow==3.3.2",
    "apache-airflow-providers-apache-spark==6.3.4",
    "apache-airflow-providers-smtp>=2.0",
    "apache-airflow-providers-standard>=1.0",
    "pyspark-client==4.2.0",
]
# Not in the lock: off by default (README, "Lineage").
LINEAGE = ["apache-airflow-providers-openlineage>=2.20,<3"]
DEV = [
    "chispa>=0.11",
    # Benchmarks compare with these three. By ibis tea-tasting asks Spark, of which its extra allows only older ones: so
    # what that extra adds stands here.
    "duckdb>=2.0,<3",
    "ibis-framework>=12.0,<13",
    "pyarrow-hotfix>=0.4",
    "pyfixest>=0.60,<1",
    "tea-tasting>=1.14,<2",
    "hypothesis>=6.100",
    "mypy>=1.13",
    "pandas-stubs>=2.2,<3",
    "pytest>=8.3,<9.2",  # with 9.2, pytest-xdist 3.8 no longer keeps groups of tests together (its issue 1386)
    "pytest-xdist>=3.8",
    "ruff>=0.8",
    "types-PyYAML>=6.0",
    "uv>=0.5",
    "build>=1.2",
    "setuptools>=75",
    "wheel>=0.45",
]

setup(
    name="watchlift",
    version="0.1.0",
    description="Experiment metrics for a streaming service, on Spark.",
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=["metrics", "metrics.*", "expectations", "expectations.*", "jobs", "jobs.*"]
    ),
    package_data={"metrics.readout": ["templates/*.j2"], "jobs": ["*.properties"]},
    install_requires=STATISTICS,
    extras_require={
        "spark": SPARK,
        "readout": READOUT,
        "airflow": AIRFLOW,
        "lineage": LINEAGE,
        "dev": SPARK + READOUT + AIRFLOW + DEV,
    },
    entry_points={"console_scripts": ["watchlift=jobs.cli:main"]},
)
