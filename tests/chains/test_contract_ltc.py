from tests.chains.inprocess import InProcessContract


class TestLtc(InProcessContract):
    coin = "ltc"
    kinds = ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh")
    main_network_addresses = ("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "MQMcJhpWHYVeQArcZR3sBgyPZxxRtnH441")
