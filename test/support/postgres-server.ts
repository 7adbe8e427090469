import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, type QueryResult } from 'pg';
import { freePort } from './free-port.ts';
import type { RequiredProgram } from './programs.ts';
import { tlsCertificate, tlsKey } from './tls-identity.ts';
import { endWithTests } from './end-with-tests.ts';

const run = promisify(execFile);

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/weir-tests-postgres');

/** The role that feeds use: it may replicate and nothing else. */
export const postgresRole = { user: 'weir', password: 'a%b:c' } as const;

const settings = {
  wal_level: 'logical',
  fsync: 'off',
  max_replication_slots: '50',
  max_wal_senders: '50',
  listen_addresses: '127.0.0.1',
  ssl: 'on',
};

/** Every user except the superuser needs a password. */
const rules = `
host all postgres 127.0.0.1/32 trust
host all nobody 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
`;

/**
 * A PostgreSQL server for tests. The tests make databases, each with its publication and slots. If the tests
 * run as root, its processes run as the user `postgres`, because it does not run as root.
 */
export class PostgresServer {
  readonly port: number;
  readonly #program: string;
  readonly #folder: string;
  readonly #owner: Owner | null;
  #child: ChildProcess | null = null;
  #output = '';
  #databases = 0;
  #copyFolder: string | null = null;
  #listensOn: number;

  private constructor(program: string, folder: string, port: number, owner: Owner | null) {
    this.#program = program;
    this.#folder = folder;
    this.port = port;
    this.#listensOn = port;
    this.#owner = owner;
  }

  static async start(initdb: RequiredProgram, postgres: RequiredProgram): Promise<PostgresServer> {
    if (initdb.kind === 'missing' || postgres.kind === 'missing') throw new Error('not installed');
    const owner = process.getuid?.() === 0 ? await postgresUser() : null;
    const folder = await mkdtemp(join(tmpdir(), 'weir-postgres-'));
    if (owner !== null) await chown(folder, owner.uid, owner.gid);
    await copyFolder(await emptyCluster(initdb.path, owner), join(folder, 'data'));
    const server = new PostgresServer(postgres.path, folder, await freePort(), owner);
    await server.#write('pg_hba.conf', rules);
    await server.#write('server.crt', tlsCertificate);
    await server.#write('server.key', tlsKey);
    await server.begin();
    const { user, password } = postgresRole;
    await server.run('postgres', `CREATE ROLE ${user} LOGIN REPLICATION PASSWORD '${password}'`);
    return server;
  }

  get folder(): string {
    return this.#folder;
  }

  /** Starts it again, with its data and these settings, and resolves when it responds. */
  async begin(changed: Readonly<Record<string, string>> = {}): Promise<void> {
    const flags = Object.entries({ ...settings, ...changed }).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    const data = join(this.#folder, 'data');
    const child = spawn(
      this.#program,
      ['-D', data, '-p', String(this.#listensOn), '-k', this.#folder, ...flags],
      {
        cwd: this.#folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        ...this.#owner,
      },
    );
    endWithTests(child);
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-4_000);
    });
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`postgres ended at its start: ${this.#output}`);
    }
  }

  /** `SIGINT`: its subscribers first confirm everything. `SIGQUIT`: at once, as in a crash. */
  async end(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** Makes a copy of its data. It is stopped for the copy and started again. */
  async copy(): Promise<void> {
    await this.end('SIGQUIT');
    this.#copyFolder ??= await mkdtemp(join(tmpdir(), 'weir-copy-'));
    await replaceWith(join(this.#copyFolder, 'data'), join(this.#folder, 'data'));
    await this.begin();
  }

  /** Ends it, restores the copy and starts it again. `work` runs while clients can't find the server. */
  async restore(work: () => Promise<void>): Promise<void> {
    await this.end('SIGQUIT');
    await replaceWith(join(this.#folder, 'data'), join(this.#copyFolder!, 'data'));
    this.#listensOn = await freePort();
    await this.begin();
    await work();
    await this.end();
    this.#listensOn = this.port;
    await this.begin();
  }

  /** The next start is that of a standby that was not promoted yet. */
  async becomeStandby(): Promise<void> {
    await this.#write('standby.signal', '');
  }

  async stop(): Promise<void> {
    await this.end('SIGQUIT');
    for (const folder of [this.#folder, this.#copyFolder]) {
      if (folder !== null) await rm(folder, { recursive: true, force: true });
    }
  }

  /** Runs statements in order as the superuser, each a transaction unless it says BEGIN. */
  run(database: string, ...statements: readonly string[]): Promise<QueryResult> {
    return this.runAll(database, statements);
  }

  /** Like `run`. `statements` may make each statement when it is needed. */
  async runAll(database: string, statements: Iterable<string>): Promise<QueryResult> {
    const client = await this.connect(database);
    try {
      let result: QueryResult = { rows: [] };
      for (const statement of statements) result = await client.query(statement);
      return result;
    } finally {
      await client.end();
    }
  }

  /**
   * Runs statements on slots. Another client may take a slot as soon as it is released, so this retries until
   * it was faster.
   */
  async takeSlots(database: string, ...statements: readonly string[]): Promise<void> {
    for (;;) {
      try {
        await this.run(database, ...statements);
        return;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === '55006')) throw error;
      }
    }
  }

  /** A connection of the superuser, which the test has to end. */
  async connect(database: string): Promise<Client> {
    const client = this.#client(database);
    await client.connect();
    return client;
  }

  /** A new database with a unique name, for one test. `options`: those of CREATE DATABASE. */
  async createDatabase(options = ''): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.run('postgres', `CREATE DATABASE ${name} ${options}`);
    return name;
  }

  /** Drops it with its slots, whichever connection holds them. */
  async dropDatabase(name: string): Promise<void> {
    await this.takeSlots(
      name,
      `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
       WHERE database = current_database() AND active_pid IS NOT NULL`,
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()',
    );
    await this.run('postgres', `DROP DATABASE ${name} WITH (FORCE)`);
  }

  /** Stops every process of the server: connections stay open and nothing is answered. */
  async freeze(): Promise<void> {
    await this.#signalAll('SIGSTOP');
  }

  async thaw(): Promise<void> {
    await this.#signalAll('SIGCONT');
  }

  async #signalAll(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    process.kill(pid, signal);
    for (const child of await childrenOf(pid)) signalIfThere(child, signal);
  }

  #client(database: string): Client {
    const client = new Client({
      host: '127.0.0.1',
      port: this.#listensOn,
      user: 'postgres',
      database,
      password: () => '',
      ssl: false,
      options: '',
      application_name: 'test',
      connectionTimeoutMillis: 10_000,
      keepAlive: false,
    });
    // The current query rejects with the error.
    client.on('error', () => undefined);
    return client;
  }

  async #answers(): Promise<boolean> {
    try {
      await this.run('postgres', 'SELECT 1');
      return true;
    } catch {
      // It does not listen yet, or is still in recovery.
      return false;
    }
  }

  async #write(name: string, text: string): Promise<void> {
    const path = join(this.#folder, 'data', name);
    await writeFile(path, text, { mode: 0o600 });
    if (this.#owner !== null) await chown(path, this.#owner.uid, this.#owner.gid);
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

async function replaceWith(folder: string, source: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await copyFolder(source, folder);
}

/** Copies with owners and modes, which Postgres requires. */
async function copyFolder(source: string, target: string): Promise<void> {
  await run('cp', ['-a', source, target]);
}

/**
 * A cluster as initdb makes it, to copy from, because initdb takes seconds. It is kept between runs, one for
 * each version and user. All copies have its system identifier.
 */
async function emptyCluster(initdb: string, owner: Owner | null): Promise<string> {
  const { stdout: version } = await run(initdb, ['--version']);
  const kept = join(
    CACHE,
    `${version.trim()} of ${owner?.uid ?? process.getuid?.()}`.replaceAll(/[^\w.]+/g, '-'),
  );
  if (existsSync(kept)) return kept;
  // A folder that the owner can access, which may not be so for the cache.
  const folder = await mkdtemp(join(tmpdir(), 'weir-initdb-'));
  if (owner !== null) await chown(folder, owner.uid, owner.gid);
  const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync', '--locale=C'];
  await run(initdb, ['-D', join(folder, 'data'), ...options], { cwd: folder, ...owner });
  await mkdir(CACHE, { recursive: true });
  const copy = await mkdtemp(join(CACHE, 'new-'));
  await copyFolder(join(folder, 'data'), join(copy, 'data'));
  // Renamed whole, because other test files look for it. Another one may have been faster.
  await rename(join(copy, 'data'), kept).catch((error: unknown) => {
    if (!existsSync(kept)) throw error;
  });
  for (const left of [folder, copy]) await rm(left, { recursive: true, force: true });
  return kept;
}

async function postgresUser(): Promise<Owner> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'postgres'])));
  return { uid: Number(uid!.stdout), gid: Number(gid!.stdout) };
}

/** Sends a signal. A process that has ended meanwhile is no failure. */
function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Each process of Postgres has a session of its own, so no signal reaches them together. */
async function childrenOf(pid: number): Promise<number[]> {
  const children: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    if (Number(stat.replace(/^.*\) /s, '').split(' ')[1]) === pid) children.push(Number(entry));
  }
  return children;
}
