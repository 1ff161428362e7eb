from tests.nodes.real import CoreContract


class TestLitecoind(CoreContract):
    coin = "ltc"
    software = "litecoind"
    kinds = ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh")
    main_network_addresses = ("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1", "MQMcJhpWHYVeQArcZR3sBgyPZxxRtnH441")
