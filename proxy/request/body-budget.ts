/** The content of writes behind that a worker holds until they are answered: so much of all of them together. */
export class BodyBudget {
  #bytes = 0;

  /** What one write takes of it. */
  begin(): BudgetedBody {
    let taken = 0;
    return {
      take: (bytes, limitBytes) => {
        // One that is alone has room in any case.
        const hasRoom = this.#bytes === taken || this.#bytes + bytes <= limitBytes;
        if (!hasRoom) return false;
        taken += bytes;
        this.#bytes += bytes;
        return true;
      },
      end: () => {
        this.#bytes -= taken;
        taken = 0;
      },
    };
  }
}

export interface BudgetedBody {
  /** False, and nothing is taken, where all of them would hold more than that. */
  take(bytes: number, limitBytes: number): boolean;
  end(): void;
}
