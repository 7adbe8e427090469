#!/usr/bin/env node
/**
 * The `weir` program. It checks the version of Node.js before it imports anything else, so that an older version gives a
 * clear message instead of a syntax error.
 */
import { nodeProblem } from '../node-version.ts';

const LEFT_OPEN_MS = 2_000;

const problem = nodeProblem();
if (problem !== null) {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
} else {
  if (process.argv[2] === 'serve') (await import('../runtime/bounded-memory.ts')).boundMemory();
  const { main } = await import('./main.ts');
  // The reader can close the pipe early, as in `weir schema | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  process.exitCode = await main({
    argv: process.argv.slice(2),
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    serve: async (options) => {
      const code = await (await import('./serve.ts')).serve(options);
      // Weir has closed all its resources. A handle that a client library left open must not keep the process alive.
      setTimeout(() => process.exit(code), LEFT_OPEN_MS).unref();
      return code;
    },
  });
}
