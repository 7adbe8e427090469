/** Bounds the bytes of content that a worker holds, in all, for writes behind that are not answered yet. */
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
