import { request as httpRequest } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { gate, until } from '../support/barrier.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';

let origin: ScriptedOrigin;
afterEach(() => origin.close());

describe('the scripted origin', () => {
  it('answers by the most specific pattern and records the requests', async () => {
    origin = await startScriptedOrigin({
      '/a': { body: 'path' },
      'PUT /a': async (request) => ({ status: 201, body: await request.received }),
      '/a?q=1': { body: 'query' },
      '/folder/*': { body: 'folder' },
    });

    expect(await text('/a')).toBe('path');
    expect(await text('/a?q=1')).toBe('query');
    expect(await text('/a?q=2')).toBe('path');
    expect(await text('/folder/b')).toBe('folder');
    expect((await fetch(`${origin.url}/else`)).status).toBe(404);
    expect(await text('/a', { method: 'PUT', body: 'sent' })).toBe('sent');

    expect(origin.count()).toBe(6);
    expect(origin.count('/a')).toBe(4);
    expect(origin.count('PUT /a')).toBe(1);
    expect(origin.requests[5]?.body.toString()).toBe('sent');
  });

  it('holds a response until the test opens the gate', async () => {
    const held = gate();
    origin = await startScriptedOrigin(async (_request, answer) => {
      await held.promise;
      answer.send(200, [], 'done');
    });

    const answers = [text('/a'), text('/b')];
    await origin.seen('*', 2);
    expect(origin.running).toBe(2);
    held.open();

    expect(await Promise.all(answers)).toEqual(['done', 'done']);
    await until(() => origin.running === 0);
    expect(origin.maxRunning).toBe(2);
  });

  it('cuts a body short and detects that a client has gone', async () => {
    const clientGone = gate();
    origin = await startScriptedOrigin({
      '/short': (_request, answer) => {
        answer.head(200, ['Content-Length', '10']);
        void answer.write('five.');
        answer.cut();
      },
      '/gone': async (_request, answer) => {
        await answer.gone;
        clientGone.open();
      },
    });

    await expect(text('/short')).rejects.toThrow();

    const abort = new AbortController();
    const answer = text('/gone', { signal: abort.signal }).catch(() => 'aborted');
    await origin.seen('/gone');
    abort.abort();
    await clientGone.promise;
    expect(await answer).toBe('aborted');
  });

  it('sends interim responses and trailers', async () => {
    origin = await startScriptedOrigin((_request, answer) => {
      answer.inform(103, ['Link', '</style.css>; rel=preload']);
      answer.head(200, ['Trailer', 'X-Sum']);
      void answer.write('body');
      answer.end(['X-Sum', '4']);
    });

    const interim: number[] = [];
    const trailers = await new Promise((resolve) => {
      const request = httpRequest(origin.url, (response) => {
        response.resume().on('end', () => resolve(response.trailers));
      });
      request.on('information', (information) => interim.push(information.statusCode));
      request.end();
    });

    expect(interim).toEqual([103]);
    expect(trailers).toEqual({ 'x-sum': '4' });
  });
});

async function text(path: string, init?: RequestInit): Promise<string> {
  return (await fetch(origin.url + path, init)).text();
}
