/** The origin of all servers: nginx, which needs the least processor time, or the bench's own if nginx is missing. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withoutFields } from '../../policies/http/fields.ts';
import { Client } from '../exchange.ts';
import type { BareAnswer } from '../processes/bare-server.ts';
import type { Stage } from '../scenario.ts';
import { Daemon } from './daemon.ts';
import { nginxConfig } from './nginx-config.ts';
import { LOAD_CORE, onCore } from './place.ts';
import { findProgram } from './programs.ts';
import { pathsOf } from './requests.ts';
import { MIXED_SIZES_KIB, type ComparedRow } from './rows.ts';
import type { OriginUnderTest } from './server.ts';

type Origin = Omit<OriginUnderTest, 'answer'>;

const KIB = 1024;
/** Parameters in a configuration of nginx are limited. Longer content is in files. */
const INLINE_BYTES = 2 * KIB;
/** Fields that depend on the connection or the time. */
const OF_A_CONNECTION: ReadonlySet<string> = new Set(['date', 'connection', 'keep-alive', 'server']);

/** Starts the origin on the load's processor. The stage ends it. */
export async function startOrigin(
  stage: Stage,
  { requests }: Pick<ComparedRow, 'requests'>,
): Promise<OriginUnderTest> {
  const origin = await start(stage);
  return { ...origin, answer: await answerTo(origin, pathsOf(requests, 1)[0]!) };
}

async function start(stage: Stage): Promise<Origin> {
  const nginx = findProgram('nginx');
  if (nginx === null) return stage.origin(onCore(LOAD_CORE));
  const daemon = await Daemon.start(LOAD_CORE, (folder, port) => {
    writeFileSync(join(folder, 'nginx.conf'), nginxConfig(folder, originConfig(folder, port)));
    return [nginx, '-p', folder, '-c', join(folder, 'nginx.conf')];
  });
  await stage.keep(() => daemon.stop());
  const client = new Client();
  await stage.keep(async () => client.close());
  return {
    port: daemon.port,
    async requests() {
      const { content } = await client.ask(`http://127.0.0.1:${daemon.port}/requests`);
      return requestsIn(content.toString());
    },
  };
}

async function answerTo(origin: Origin, path: string): Promise<BareAnswer> {
  const client = new Client();
  const { status, fields, content } = await client.ask(`http://127.0.0.1:${origin.port}${path}`);
  client.close();
  return { status, fields: withoutFields(fields, OF_A_CONNECTION), content };
}

/** Reads the requests from the page of ngx_http_stub_status_module: the third number of its third line. */
export function requestsIn(status: string): number {
  return Number(/^ *\d+ \d+ (\d+) *$/m.exec(status)?.[1]);
}

/** Paths have the form of `bench/processes/origin.ts`. Delays are ignored. */
function originConfig(folder: string, port: number): string {
  const sizes = Array.from(new Set(MIXED_SIZES_KIB), (kib) => kib * KIB);
  return `types {} default_type application/octet-stream;
  open_file_cache max=100 inactive=1h; open_file_cache_valid 1h; etag off; if_modified_since off;
  server {
    listen 127.0.0.1:${port}; root ${folder};
    location = /requests { stub_status; }
    location ~ /no-store$ { add_header Cache-Control no-store; return 200 "${contentOf(KIB)}"; }
    ${sizes.map((bytes) => locationOf(folder, bytes)).join('\n    ')}
  }`;
}

function locationOf(folder: string, bytes: number): string {
  const fields = `add_header Cache-Control max-age=3600; add_header ETag '"${bytes}"'; add_header Surrogate-Key bench;`;
  if (bytes <= INLINE_BYTES) return `location /${bytes}/ { ${fields} return 200 "${contentOf(bytes)}"; }`;
  writeFileSync(join(folder, `content-${bytes}`), contentOf(bytes));
  return `location /${bytes}/ { ${fields} rewrite ^ /content-${bytes} break; }`;
}

function contentOf(bytes: number): string {
  return 'weir '.repeat(Math.ceil(bytes / 5)).slice(0, bytes);
}
