/** A child process of the bench, started from a file of this folder. It answers one question at a time. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The time that a process gets in addition to the duration of the question. */
const GRACE_MS = 30_000;

export class Child<Question, Answer> {
  readonly #file: string;
  readonly #process: ChildProcess;

  private constructor(file: string, process: ChildProcess) {
    this.#file = file;
    this.#process = process;
  }

  /**
   * `file` is relative to this folder, `launcher` stands before the command. Resolves when the process reports that it is
   * ready. Rejects if it ends before.
   */
  static async start<Question, Answer>(
    file: string,
    parameters: readonly string[] = [],
    launcher: readonly string[] = [],
  ): Promise<Child<Question, Answer>> {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const [execPath, ...execArgv] = [...launcher, process.execPath, ...process.execArgv] as [
      string,
      ...string[],
    ];
    const child = new Child<Question, Answer>(
      file,
      fork(path, parameters, { serialization: 'advanced', execPath, execArgv }),
    );
    try {
      await child.#next(GRACE_MS);
    } catch (error) {
      await child.end();
      throw error;
    }
    return child;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Rejects if the process ends, or takes 30 s longer than `mostMs`. */
  ask(question: Question, mostMs = 0): Promise<Answer> {
    const answer = this.#next(mostMs + GRACE_MS) as Promise<Answer>;
    this.#process.send(question as object);
    return answer;
  }

  async end(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  #next(mostMs: number): Promise<unknown> {
    const child = this.#process;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
      };
      const onMessage = (message: unknown): void => {
        settle();
        resolve(message);
      };
      const onExit = (): void => {
        settle();
        reject(new Error(`${this.#file} ended`));
      };
      const timer = setTimeout(() => {
        settle();
        reject(new Error(`${this.#file} gave no answer within ${mostMs} ms`));
      }, mostMs);
      child.on('message', onMessage);
      child.on('exit', onExit);
    });
  }
}

/** The main function of every process of this folder: reports that it is ready, and answers questions until its parent ends. */
export async function answerParent<Question, Answer>(
  answer: (question: Question) => Answer | Promise<Answer>,
): Promise<void> {
  const tell = process.send!.bind(process);
  tell('ready');
  process.once('disconnect', () => process.exit(0));
  for (;;) {
    const [question] = (await once(process, 'message')) as [Question];
    tell(await answer(question));
  }
}
