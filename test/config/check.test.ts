import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCheck } from '../../proxy/cli/check.ts';
import { runSchema } from '../../proxy/cli/schema.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weir-check-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** Checks a file with this text; null: there is no file. */
async function check(text: string | null, json = false) {
  const file = join(directory, text === null ? 'none.yaml' : 'weir.yaml');
  if (text !== null) await writeFile(file, text);
  let out = '';
  let err = '';
  const stdout = { write: (written: string) => (out += written) };
  const stderr = { write: (written: string) => (err += written) };
  const code = await runCheck({ file, json, stdout, stderr, env: {}, feedTypes: {} });
  return { code, out: out.replaceAll(file, 'FILE'), err: err.replaceAll(file, 'FILE') };
}

describe('weir check', () => {
  it('reports that a file is valid, and how many routes it has', async () => {
    const text = 'origins: { shop: { url: "demo:" } }\nroutes: [{ match: /a }, { match: /* }]';
    expect(await check(text)).toEqual({ code: 0, out: 'FILE: valid, 2 routes\n', err: '' });
  });

  it('prints warnings in addition', async () => {
    const text = 'origins: { shop: { url: "demo:" } }\nroutes: [{ match: /a }]';
    expect(await check(text)).toEqual({
      code: 0,
      out: 'FILE: valid, 1 route\n',
      err: 'warning: FILE:2:1 routes: expected a last route that matches /*, got none: other paths get 404\n',
    });
  });

  it('prints every error', async () => {
    expect(await check('log: { level: loud }')).toEqual({
      code: 1,
      out: '',
      err:
        'FILE:1:1 origins: expected at least one origin, got none\n' +
        'FILE:1:15 log.level: expected one of trace, debug, info, warn, error, fatal, silent, got "loud"\n',
    });
  });

  it("reports that a file can't be read", async () => {
    expect(await check(null)).toEqual({
      code: 1,
      out: '',
      err: 'FILE:1:1 (document): expected a file that can be read, got ENOENT\n',
    });
  });

  it('prints its result as JSON', async () => {
    const { code, out, err } = await check('origins: {}', true);
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(JSON.parse(out)).toEqual({
      ok: false,
      errors: [
        {
          file: 'FILE',
          line: 1,
          column: 10,
          path: 'origins',
          message: 'expected at least one origin, got none',
        },
      ],
      warnings: [],
    });
  });
});

describe('weir schema', () => {
  it('prints the JSON Schema', () => {
    let out = '';
    expect(runSchema({ feedTypes: {}, stdout: { write: (text) => (out += text) } })).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ title: 'Weir configuration', type: 'object' });
  });
});
