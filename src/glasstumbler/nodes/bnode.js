'use strict';
// Starts bcash or bcoin as a node without peers: node bnode.js PACKAGE --option=value ... The API key comes from the
// environment. Their own start files would dial the seeds of their networks; here nothing connects, so nothing leaves.

const name = process.argv.splice(2, 1)[0];

function fail(error) {
  console.error(`${name} failed: ${error.message.split('\n')[0]}`);
  process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

const load = require('module').createRequire(`${process.env.NODE_PATH}/${name}/package.json`);

function instead(file, other) {
  const path = load.resolve(file);
  load.cache[path] = Object.assign(new (require('module'))(path), {exports: load(other), loaded: true});
}

// Parts that want a compiler where they are installed, in the form without: the chain is in memory, no filter is asked for.
instead('bdb/lib/level', 'bdb/lib/level-browser');
instead('mrmr/lib/murmur3', 'mrmr/lib/murmur3-browser');

if (name === 'bcoin') {
  // bcoin has regtest forms of its own; these are everybody else's.
  const regtest = load('./lib/protocol/networks').regtest;
  Object.assign(regtest.addressPrefix, {pubkeyhash: 0x6f, scripthash: 0xc4, bech32: 'bcrt'});
}

const FullNode = load('./lib/node/fullnode');
const node = new FullNode({
  argv: true, env: true, memory: true, workers: false, listen: false, logConsole: true, logFile: false, loader: load
});

async function stop() {
  await node.close();
  process.exit(0);
}

for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => stop().catch(fail));

(async () => {
  await node.ensure();
  await node.open();
})().catch(fail);
