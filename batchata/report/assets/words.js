// Numbers as a person reads them.

const count = (number) => number.toLocaleString('en-US');

const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? '' : 's'}`;

function compact(number) {
  for (const [size, letter] of [[1e9, 'B'], [1e6, 'M'], [1e3, 'k']]) {
    if (number >= size * 0.99995) {
      const value = number / size;
      return (value < 99.95 ? value.toFixed(1) : value.toFixed(0)) + letter;
    }
  }
  return count(number);
}

// As many digits as matter: $12.34, $0.0312, $0.00000315.
function usd(amount) {
  if (!amount) return '$0';
  if (amount >= 1) return '$' + amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const digits = Math.min(12, 2 - Math.floor(Math.log10(amount)));
  return '$' + amount.toFixed(Math.max(2, digits));
}

function duration(seconds) {
  if (!seconds) return '0 s';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(part === whole ? 0 : 1)} %` : '–');

const moment = (iso) => iso.slice(0, 19).replace('T', ' ') + ' UTC';

const spaced = (name) => name.replaceAll('_', ' ');
