/** Runs in the page: words that stand out too little from what lies behind them, with their contrast. */
export function faintTexts(): string[];
