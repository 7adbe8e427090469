import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fieldValue } from '../../policies/http/fields.ts';
import type { Origin, OriginRequest } from '../../origin-adapters/origin.ts';
import { until } from '../support/barrier.ts';
import { startScriptedOrigin } from '../support/scripted-origin.ts';
import type { ScriptedOrigin } from '../support/scripted-origin.ts';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { originOf, run } from './exchange.ts';

describe('an https origin', () => {
  let server: Server;
  let url: string;
  let folder: string;
  let caFile: string;
  let connections = 0;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
    caFile = join(folder, 'ca.pem');
    writeFileSync(caFile, tlsCertificate);
    server = createServer({ key: tlsKey, cert: tlsCertificate }, (request, response) => {
      response.end(String(request.headers.host));
    });
    server.on('secureConnection', () => connections++);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  it('is rejected where its certificate is not trusted', async () => {
    const origin = originOf([url]);
    expect((await run(origin, '/').over).failure).toMatchObject({
      kind: 'tls_certificate_error',
      status: 502,
      maybeProcessed: false,
    });
    await origin.close(0);
  });

  it('is rejected where its certificate is for another name', async () => {
    const origin = originOf([url], { tls: { caFile, serverName: 'other.example' } });
    expect((await run(origin, '/').over).failure?.kind).toBe('tls_certificate_error');
    await origin.close(0);
  });

  it('is requested under its own name over one connection, whatever Host the clients send', async () => {
    const origin = originOf([url], { tls: { caFile, serverName: tlsName } });
    const before = connections;
    for (const host of ['a.example', 'b.example', 'c.example']) {
      expect((await run(origin, '/', { fields: ['Host', host] }).over).body).toBe(host);
    }
    expect(connections - before).toBe(1);
    await origin.close(0);
  });
});

describe('an upgrade', () => {
  let server: ScriptedOrigin;
  let origin: Origin;
  const request: OriginRequest = {
    method: 'GET',
    path: '/socket',
    fields: ['Sec-WebSocket-Key', 'k'],
    body: null,
    priority: 'client',
    unboundedBody: true,
  };
  beforeEach(async () => {
    server = await startScriptedOrigin();
    origin = originOf([server.url], { connections: 1 });
  });
  afterEach(async () => {
    await origin.close(0);
    await server.close();
  });

  it('gives the socket, which counts as a connection until it is closed', async () => {
    server.onUpgrade((_request, socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly.',
      );
      socket.on('data', (chunk) => socket.write(chunk));
    });

    const result = await origin.upgrade(request, 'websocket');
    if (result.kind !== 'switched') throw new Error(result.kind);
    let got = Buffer.from(result.head).toString();
    result.socket.on('data', (chunk: Buffer) => (got += chunk.toString()));
    result.socket.write('echo');
    await until(() => got === 'early.echo', 'the echo');

    expect(fieldValue(result.fields, 'upgrade')).toBe('websocket');
    expect(fieldValue(server.requests[0]!.fields, 'sec-websocket-key')).toBe('k');
    server.on('/after', { body: 'after' });
    const after = run(origin, '/after');
    expect(origin.stats.queued).toBe(1);
    result.socket.destroy();
    expect((await after.over).status).toBe(200);
  });

  it('gives an ordinary response where the origin rejects it', async () => {
    server.on('/socket', { status: 403, fields: ['X-Why', 'no'], body: 'refused' });

    const result = await origin.upgrade(request, 'websocket');
    if (result.kind !== 'refused') throw new Error(result.kind);
    const chunks = await result.body.toArray();

    expect(result.status).toBe(403);
    expect(fieldValue(result.fields, 'x-why')).toBe('no');
    expect(Buffer.concat(chunks as Buffer[]).toString()).toBe('refused');
  });

  it("fails where the origin can't be reached", async () => {
    await server.close();
    const result = await origin.upgrade(request, 'websocket');
    server = await startScriptedOrigin();
    expect(result).toMatchObject({ kind: 'failed', failure: { maybeProcessed: false } });
  });
});
