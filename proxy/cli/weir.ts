#!/usr/bin/env node
/**
 * The `weir` program. It imports nothing else before it knows that this Node.js is one that Weir runs on, so that an older
 * one says so instead of failing at the first thing that it does not know.
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
  // Whoever reads may have had enough: `weir schema | head`.
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
      // Everything of ours is closed: what a client library has left open must not keep the process.
      setTimeout(() => process.exit(code), LEFT_OPEN_MS).unref();
      return code;
    },
  });
}
