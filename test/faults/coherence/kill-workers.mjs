/** Loaded into Weir before its own modules. At each SIGUSR2 it ends the oldest worker thread, as a crash would. */
import threads from 'node:worker_threads';
import { syncBuiltinESMExports } from 'node:module';

const { Worker } = threads;
const alive = new Set();
threads.Worker = class extends Worker {
  constructor(...parameters) {
    super(...parameters);
    alive.add(this);
    this.once('exit', () => alive.delete(this));
  }
};
syncBuiltinESMExports();

if (threads.isMainThread) {
  process.on('SIGUSR2', () => {
    const [oldest] = alive;
    if (oldest !== undefined) void oldest.terminate();
  });
}
