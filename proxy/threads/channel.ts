import type { MessagePort, Worker } from 'node:worker_threads';

/** Calls by name, with their parameters and results. */
export type Calls = Record<string, (argument: never) => unknown>;

type Argument<C extends Calls, Name extends keyof C> = Parameters<C[Name]>[0];
type Result<C extends Calls, Name extends keyof C> = Awaited<ReturnType<C[Name]>>;

/** The functions that serve calls; their results may be promises. */
export type Handlers<C extends Calls> = {
  readonly [Name in keyof C]: (argument: Argument<C, Name>) => Result<C, Name> | Promise<Result<C, Name>>;
};

type Message =
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'tell'; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly message: string;
      readonly code: string | undefined;
    };

type Port = Pick<MessagePort | Worker, 'postMessage' | 'on'>;
type Transfer = readonly (ArrayBuffer | MessagePort)[];

/** Typed calls over a message port, in both directions. Open calls reject when the other side ends. */
export class Channel<Theirs extends Calls, Ours extends Calls> {
  readonly #port: Port;
  readonly #handlers: Handlers<Ours>;
  readonly #onFailed: (name: string, error: unknown) => void;
  readonly #open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 0;
  #isClosed = false;

  /** `onFailed` receives the errors of calls that failed here. A waiting caller gets only their message and code. */
  constructor(port: Port, handlers: Handlers<Ours>, onFailed: (name: string, error: unknown) => void) {
    this.#port = port;
    this.#handlers = handlers;
    this.#onFailed = onFailed;
    port.on('message', (message: Message) => this.#receive(message));
  }

  call<Name extends keyof Theirs & string>(
    name: Name,
    argument: Argument<Theirs, Name>,
    transfer: Transfer = [],
  ): Promise<Result<Theirs, Name>> {
    if (this.#isClosed) return Promise.reject(new Error('the other thread has ended'));
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#post({ kind: 'call', id, name, argument }, transfer);
    });
  }

  /** Makes a call without waiting for its result. */
  tell<Name extends keyof Theirs & string>(
    name: Name,
    argument: Argument<Theirs, Name>,
    transfer: Transfer = [],
  ): void {
    if (!this.#isClosed) this.#post({ kind: 'tell', name, argument }, transfer);
  }

  /** To be called when the other side has ended. Open and later calls reject. */
  closed(): void {
    this.#isClosed = true;
    for (const { reject } of this.#open.values()) reject(new Error('the other thread has ended'));
    this.#open.clear();
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case 'call':
        this.#serve(message.name, message.argument).then(
          (result) => this.#post({ kind: 'done', id: message.id, result }),
          (error: unknown) => {
            this.#onFailed(message.name, error);
            const { message: text, code } = error as { message?: string; code?: string };
            this.#post({ kind: 'failed', id: message.id, message: text ?? String(error), code });
          },
        );
        return;
      case 'tell':
        this.#serve(message.name, message.argument).catch((error: unknown) =>
          this.#onFailed(message.name, error),
        );
        return;
      case 'done':
        this.#open.get(message.id)?.resolve(message.result);
        this.#open.delete(message.id);
        return;
      case 'failed':
        this.#open.get(message.id)?.reject(Object.assign(new Error(message.message), { code: message.code }));
        this.#open.delete(message.id);
        return;
      default:
        message satisfies never;
    }
  }

  async #serve(name: string, argument: unknown): Promise<unknown> {
    const handler = this.#handlers[name] as ((argument: unknown) => unknown) | undefined;
    if (handler === undefined) throw new Error(`no call named ${name}`);
    return handler(argument);
  }

  #post(message: Message, transfer: Transfer = []): void {
    this.#port.postMessage(message, transfer);
  }
}
