/** Runs cases through a running Weir in front of a scripted origin, and reports what did not hold. */
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { fieldValue } from '../../policies/http/fields.ts';
import {
  startScriptedOrigin,
  type ScriptedOrigin,
  type ScriptedRequest,
} from '../support/scripted-origin.ts';
import { startWeir, type RunningWeir } from '../support/weir.ts';
import { written, type Ask, type Case, type Say, type Step, type Values } from './case.ts';

export interface Answer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: string;
  readonly interim: readonly number[];
}

/** One origin, one route, and defaults otherwise. */
export class Bench {
  readonly origin: ScriptedOrigin;
  readonly weir: RunningWeir;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #scripts: Map<string, Scene>;
  readonly #workers: number;
  #cases = 0;

  private constructor(
    workers: number,
    origin: ScriptedOrigin,
    weir: RunningWeir,
    scripts: Map<string, Scene>,
  ) {
    this.#workers = workers;
    this.origin = origin;
    this.weir = weir;
    this.#scripts = scripts;
  }

  static async start(workers: number): Promise<Bench> {
    const scripts = new Map<string, Scene>();
    const origin = await startScriptedOrigin((request, answer) => {
      const scene = scripts.get(sceneOf(request.url));
      if (scene === undefined) return { status: 404, fields: ['Cache-Control', 'no-store'] };
      scene.asked.push(request);
      const { say = {}, from } = scene.step;
      for (const { status, fields } of say.interim ?? []) answer.inform(status, fields);
      if (say.cut === true) return answer.cut();
      const fields = written(say.fields ?? [], Date.now());
      if (isValidation(request, from)) return { status: 304, fields };
      return { status: say.status ?? 200, fields, body: say.body ?? contentOf(say, scene.at) };
    });
    const weir = await startWeir(`
      listen: { port: 0, workers: ${workers} }
      origins: { app: { url: "${origin.url}" } }
      routes: [{ name: all, match: /*, origin: app, cache: { freshness: headers, client-directives: honor } }]`);
    return new Bench(workers, origin, weir, scripts);
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await this.weir.stop();
    await this.origin.close();
  }

  /** Throws if the case does not hold. */
  async play({ steps }: Case): Promise<void> {
    this.#cases += 1;
    const path = `/case-${this.#cases}`;
    const startMs = Date.now();
    for (const [number, step] of steps.entries()) {
      if (number > 0) await this.#stored();
      const scene: Scene = { step, at: number, asked: [] };
      this.#scripts.set(sceneOf(path), scene);
      const answer = await this.ask(path, step.ask);
      if (step.from === 'refresh') await this.origin.seen(`${path}*`, number + 1);
      check(steps, number, answer, scene.asked, startMs);
    }
  }

  /** Waits until answers are stored: a client may have all of an answer before another worker finds it. */
  async #stored(): Promise<void> {
    while (
      this.#workers > 1 &&
      ((await this.weir.stats()) as { flights: { running: number } }).flights.running > 0
    );
  }

  async ask(path: string, { method = 'GET', fields = [], body, more = '' }: Ask = {}): Promise<Answer> {
    const interim: number[] = [];
    const length = body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))];
    const request = httpRequest({
      agent: this.#agent,
      port: this.weir.port,
      host: '127.0.0.1',
      method,
      path: `${path}${more}`,
      headers: ['Host', 'cache.example', ...length, ...written(fields, Date.now())],
    });
    request.on('information', ({ statusCode }) => interim.push(statusCode));
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(response, 'end');
    return {
      status: response.statusCode!,
      fields: response.rawHeaders,
      body: Buffer.concat(chunks).toString('latin1'),
      interim,
    };
  }
}

interface Scene {
  readonly step: Step;
  readonly at: number;
  readonly asked: ScriptedRequest[];
}

function sceneOf(url: string): string {
  return /^\/case-\d+/.exec(url)?.[0] ?? '';
}

function isValidation({ fields }: ScriptedRequest, from: Step['from']): boolean {
  if (from === 'etag') return fieldValue(fields, 'if-none-match') !== undefined;
  return from === 'date' && fieldValue(fields, 'if-modified-since') !== undefined;
}

function contentOf(say: Say, step: number): string {
  return say.status === 204 || say.status === 304 ? '' : `content of step ${step}`;
}

function check(
  steps: readonly Step[],
  number: number,
  answer: Answer,
  asked: readonly ScriptedRequest[],
  startMs: number,
): void {
  const step = steps[number]!;
  const fail = (what: string): never => {
    throw new Error(
      `step ${number}: ${what}; answered ${answer.status} ${JSON.stringify(answer.fields)} ${JSON.stringify(answer.body)}`,
    );
  };
  const { from, say = {} } = step;
  if (from === 'cache' && asked.length > 0) fail('the origin was asked');
  // A request on a closed connection may be retried (RFC 9112 §9.3.1).
  const isOnce = asked.length === 1 || (say.cut === true && asked.length > 1);
  if (from !== 'cache' && !isOnce) fail(`the origin was asked ${asked.length} times`);
  const validates = from === 'etag' || from === 'date';
  if (validates && !isValidation(asked[0]!, from)) fail('the origin was asked without that precondition');
  const status = step.status ?? (validates || from === 'cache' ? 200 : (say.status ?? 200));
  if (answer.status !== status) fail(`the status is not ${status}`);
  for (const [name, values] of expected(step.has ?? [], startMs)) {
    const actual = fieldValue(answer.fields, name.toLowerCase());
    if (!values.includes(actual)) fail(`${name} is ${actual}, not ${values.join(' or ')}`);
  }
  for (const name of step.lacks ?? []) {
    if (fieldValue(answer.fields, name.toLowerCase()) !== undefined) fail(`${name} is present`);
  }
  for (const [name, values] of expected(step.sends ?? [], startMs)) {
    const actual = fieldValue(asked[0]!.fields, name.toLowerCase());
    if (!values.includes(actual)) fail(`the origin was sent ${name}: ${actual}, not ${values.join(' or ')}`);
  }
  if (step.ageAtLeast !== undefined) {
    const age = Number(fieldValue(answer.fields, 'age') ?? -1);
    if (!(age >= step.ageAtLeast)) fail(`Age is ${age}`);
  }
  if (step.interim !== undefined && step.interim.join() !== answer.interim.join()) {
    fail(`interim responses were ${answer.interim.join()}`);
  }
  const body = step.body ?? expectedBody(steps, number, status);
  if (answer.body !== body) fail(`the content is not ${JSON.stringify(body)}`);
}

function expectedBody(steps: readonly Step[], number: number, status: number): string {
  const { ask, from, bodyOf, say = {} } = steps[number]!;
  if (ask?.method === 'HEAD' || status === 304 || status === 204) return '';
  if (say.cut === true && from !== 'cache' && bodyOf === undefined) return '';
  const source = bodyOf ?? (from === 'origin' ? number : 0);
  const said = steps[source]!.say ?? {};
  return said.body ?? contentOf(said, source);
}

/** Names with the values that each may have: a moment may be any second from the case's start until now. */
function expected(values: Values, startMs: number): [string, (string | undefined)[]][] {
  const seconds = Math.floor(Date.now() / 1000) - Math.floor(startMs / 1000);
  const spellings = Array.from({ length: seconds + 1 }, (_, late) => written(values, startMs + late * 1000));
  return values.flatMap((name, i) =>
    i % 2 === 0 ? [[name as string, spellings.map((spelling) => spelling[i + 1])]] : [],
  );
}
