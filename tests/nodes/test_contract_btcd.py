from tests.nodes.real import CoreContract


class TestBtcd(CoreContract):
    coin = "btc"
    software = "btcd"
    kinds = ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh")
    replaces = True
    forgets = False
    main_network_addresses = ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",)
