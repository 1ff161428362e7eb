from tests.chains.inprocess import InProcessContract


class TestBch(InProcessContract):
    coin = "bch"
    kinds = ("p2pkh",)
    main_network_addresses = (
        "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    )
