"""Glass Tumbler: coin mixing and swap services on private test chains, with the record of every link."""

__version__ = "0.1.0"
