import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SUPPORT = fileURLToPath(new URL('../support/end-with-tests.ts', import.meta.url));

/**
 * Starts two child processes that hold its standard output. Lets one end, stops the other (SIGSTOP), and
 * kills itself.
 */
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

it('child processes of the tests end with them, even if the tests are killed and the child is stopped', async () => {
  const tests = spawn(process.execPath, ['--input-type=module', '--eval', TESTS], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = tests.stdout.setEncoding('utf8').toArray();
  await once(tests, 'exit');
  expect(tests.signalCode).toBe('SIGKILL');
  // The output ends when no process holds it any more.
  expect((await output).join('')).toBe('started');
});
