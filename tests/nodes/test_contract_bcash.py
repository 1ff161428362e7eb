from tests.nodes.real import CoreContract


class TestBcash(CoreContract):
    coin = "bch"
    software = "bcash"
    kinds = ("p2pkh",)
    main_network_addresses = ("bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",)
