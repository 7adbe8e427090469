import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SUPPORT = fileURLToPath(new URL('../support/end-with-tests.ts', import.meta.url));

/** Starts two children that hold its standard output, lets one of them end, stops the other, and dies. */
const TESTS = `
  import { spawn } from 'node:child_process';
  import { once } from 'node:events';
  const { endWithTests } = await import(${JSON.stringify(SUPPORT)});
  const start = (...command) => {
    const child = spawn('sh', ['-c', ...command], { stdio: ['ignore', 'inherit', 'ignore'] });
    endWithTests(child);
    return child;
  };
  const short = start('true');
  const long = start('exec sleep 1000');
  await once(short, 'exit');
  long.kill('SIGSTOP');
  process.stdout.write('started', () => process.kill(process.pid, 'SIGKILL'));
`;

it('what tests have started ends with them, even if they are killed and it was stopped', async () => {
  const tests = spawn(process.execPath, ['--input-type=module', '--eval', TESTS], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const told = tests.stdout.setEncoding('utf8').toArray();
  await once(tests, 'exit');
  expect(tests.signalCode).toBe('SIGKILL');
  // Ends when nobody holds it any more.
  expect((await told).join('')).toBe('started');
});
