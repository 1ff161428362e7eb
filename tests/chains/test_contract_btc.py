from tests.chains.inprocess import InProcessContract


class TestBtc(InProcessContract):
    coin = "btc"
    kinds = ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh")
    replaces = True
    main_network_addresses = (
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    )
