import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fieldValue } from '../../policies/http/fields.ts';
import {
  ERROR_RESPONSES,
  errorDocument,
  listenerError,
  type ErrorRow,
} from '../../proxy/http/error-responses.ts';

const PROXY = join(import.meta.dirname, '../../proxy');
const TABLE = 'http/error-responses.ts';
const rows: [string, ErrorRow][] = Object.entries(ERROR_RESPONSES);

async function sources(): Promise<[string, string][]> {
  const names = (await readdir(PROXY, { recursive: true })).filter((name) => name.endsWith('.ts'));
  return Promise.all(
    names.map(async (name): Promise<[string, string]> => [name, await readFile(join(PROXY, name), 'utf8')]),
  );
}

describe('the table of error responses', () => {
  it('titles every row with the phrase of its status', () => {
    const titles = rows.map(([code, row]) => {
      const { title } = JSON.parse(Buffer.from(errorDocument(row).content).toString()) as { title: string };
      return [code, title];
    });
    expect(titles.filter(([, title]) => title === 'Server Error')).toEqual([]);
  });

  it('explains every row in a sentence', () => {
    const sentence = /^(?:[A-Z].*\.|\{(?:fault|detail)\})$/;
    expect(rows.filter(([, { detail }]) => !sentence.test(detail))).toEqual([]);
  });

  it('has no row without a sender', async () => {
    const texts = (await sources()).filter(([name]) => name !== TABLE).map(([, text]) => text);
    // Selected by the limit that was reached, or by the reason why the journal did not accept a write.
    const chosen = new Set(['waiters', 'waiting', 'full']);
    const unsent = rows.filter(
      ([code]) => !chosen.has(code) && !texts.some((text) => text.includes(`'${code}'`)),
    );
    expect(unsent.map(([code]) => code)).toEqual([]);
  });

  it('is the only source of problem documents of the main port', async () => {
    const makers = (await sources())
      .filter(([, text]) => /\bproblem\(/.test(text))
      .map(([name]) => name)
      .toSorted();
    expect(makers).toEqual(['admin/error-responses.ts', TABLE, 'http/problem.ts']);
  });
});

describe('a response of the listener', () => {
  it('contains the values of the occurrence', () => {
    const { status, fields, content } = listenerError('target-too-long', { limit: 8192 });
    expect(status).toBe(414);
    expect(fieldValue(fields, 'proxy-status')).toBe('weir; error=http_request_denied');
    expect(JSON.parse(Buffer.from(content).toString())).toEqual({
      type: 'about:blank',
      title: 'URI Too Long',
      status: 414,
      detail: 'The request target is longer than 8192 bytes.',
    });
  });

  it('inserts a value unchanged, whatever it contains', () => {
    const { content } = listenerError('malformed-request', { fault: 'Bad {limit} $& here.' });
    expect(JSON.parse(Buffer.from(content).toString())).toMatchObject({ detail: 'Bad {limit} $& here.' });
  });
});
