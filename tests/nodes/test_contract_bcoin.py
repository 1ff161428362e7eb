from tests.nodes.real import CoreContract


class TestBcoin(CoreContract):
    coin = "btc"
    software = "bcoin"
    kinds = ("p2wpkh", "p2pkh", "p2sh-p2wpkh")
    main_network_addresses = ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",)
