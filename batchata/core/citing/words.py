"""Words of several languages that the mapper knows: small lists, not dictionaries."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: each line is one notion; a field called by one of its words may be labelled with another
_NOTIONS: Final = """
supplier vendor seller lieferant anbieter fournisseur prestataire proveedor fornitore \
provider fornecedor leverancier 仕入先 供給者 売主
customer client buyer kunde käufer auftraggeber acheteur cliente comprador klant 顧客 買主 お客様
contractor auftragnehmer 契約者
invoice bill rechnung rechnungs facture factura fattura fatura factuur 請求書 請求
number no nr num nummer numéro número numero n° nº 番号
date datum fecha data 日付 日
due payable fällig zahlbar échéance vencimiento vence scadenza vencimento vervaldatum 期限 支払期限
issue issued issuance ausgestellt rechnungsdatum factuurdatum emission émise emitida 発行 発行日
total gesamt gesamtbetrag summe totale totaal ttc 合計
subtotal net netto nettobetrag ht imponibile líquido liquido 小計
tax vat gst mwst mehrwertsteuer steuer tva iva btw imposto impuesto 消費税 税
amount sum betrag montant importe importo valor bedrag 金額
price preis einzelpreis prix precio prezzo preço prijs 価格 単価
quantity qty units pieces menge anzahl quantité cantidad quantità quantidade aantal 数量
rent miete loyer renta alquiler affitto aluguel huur 賃料
deposit kaution fianza caução borg 敷金
start begin beginning effective commencement beginn début inicio inizio início 開始
end expiry expiration expires ende fin fine fim 終了
name nom nombre nome naam 氏名 名前 名称
address adresse dirección indirizzo endereço adres 住所
city town stadt ville ciudad città cidade 市
country land pays país paese 国
company firma société empresa azienda bedrijf 会社
salary wage gehalt salaire salario stipendio salário 給与
duration term period laufzeit durée plazo durata prazo 期間
notice kündigungsfrist préavis preaviso preavviso
penalty vertragsstrafe pénalité penalización penale multa
law recht droit ley legge lei 準拠法
author authors autor auteur autore 著者
title titel titre título titolo 題名 タイトル
year jahr année año anno ano 年
page pages seite seiten página pagina ページ
discount rabatt remise descuento sconto desconto korting 割引
shipping freight versand livraison envío spedizione frete 送料
signed unterzeichnet signé firmado firmato assinado 署名
renewal verlängerung renouvellement renovación prórroga rinnovo renovação 更新
revenue turnover umsatz chiffre ingresos ricavi receita 売上
employees headcount mitarbeiter employés empleados dipendenti funcionários 従業員
age alter âge edad età idade 年齢
birth geburtsdatum naissance nacimiento nascita nascimento 生年月日
premium prämie prime prima prêmio 保険料
coverage deckung couverture cobertura copertura 補償額
status state stand état estado stato 状態
description bezeichnung beschreibung désignation descripción descrizione descrição 品名 摘要
"""

#: words that say little about which field is meant
GENERIC: Final = _words(
    "name value amount number no nr id code date type status state text description info details "
    "data field item count kind key"
)
DROPPED: Final = _words("is has was are the of a an in on for to and by at with")
#: words between a label and its value, or around them, that are no label
CONNECTING: Final = _words(
    "a an the of is are was were be been and or to by on in at for from with as its it this that "
    "amounts reached stands der die das des dem den ist sind war und oder von vom am im zu zum bis "
    "beträgt eine ein le la les l de du des d est et ou à au un une el los las es y o en del al "
    "il lo gli i è e di da con os as do da em é um uma het een is van op と は が の で です "
)

YES: Final = _words(
    "yes true y ja oui sí sì si sim wahr vrai verdadero vero verdadeiro はい 有 有り あり ✓ ✔ ☑ ✅ "
    "[x] (x)"
)
NO: Final = _words(
    "no false n nein non não nao nee falsch faux falso いいえ 無 無し なし ✗ ✘ ☐ ☒ ❌ [] () not "
    "never none without nicht kein keine keinen pas sans sin senza sem geen"
)
#: words that turn a sentence round
NEGATIONS: Final = NO | _words(
    "un nor neither nothing nobody nowhere cannot nichts niemand nie niemals rien jamais nada "
    "nunca nadie niente nessuno niets nooit ninguém не нет ничего никогда"
)
WEEKDAYS: Final = _words(
    "monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag "
    "freitag samstag sonnabend sonntag lundi mardi mercredi jeudi vendredi samedi dimanche lunes "
    "martes miércoles jueves viernes sábado domingo lunedì martedì mercoledì giovedì venerdì "
    "sabato domenica maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"
)

NUMBER_WORDS: Final[dict[int, tuple[str, ...]]] = {
    number: tuple(names.split())
    for number, names in enumerate(
        (
            "two zwei deux dos due dois duas twee",
            "three drei trois tres tre três drie",
            "four vier quatre cuatro quattro quatro",
            "five fünf cinq cinco cinque vijf",
            "six sechs seis sei zes",
            "seven sieben sept siete sette sete zeven",
            "eight acht huit ocho otto oito",
            "nine neun neuf nueve nove negen",
            "ten zehn dix diez dieci dez tien",
            "eleven elf onze once undici",
            "twelve zwölf douze doce dodici doze twaalf",
        ),
        start=2,
    )
} | {
    15: ("fifteen", "fünfzehn", "quinze", "quince", "quindici"),
    20: ("twenty", "zwanzig", "vingt", "veinte", "venti", "vinte"),
    30: ("thirty", "dreißig".casefold(), "trente", "treinta", "trenta", "trinta"),
    60: ("sixty", "sechzig", "soixante", "sesenta", "sessanta", "sessenta"),
    90: ("ninety", "neunzig", "noventa", "novanta"),
    100: ("hundred", "hundert", "cent", "cien", "cento", "cem"),
}

SCALES: Final[dict[str, int]] = {
    word: power
    for power, words in (
        (3, "thousand tausend tsd tsd. mille milliers mil mila k 千"),
        (4, "万 萬"),
        (5, "lakh lakhs"),
        (6, "million millions mio mio. mn m millionen millones millón milioni milione milhões "
            "milhão miljoen"),
        (7, "crore crores"),
        (8, "億"),
        (9, "billion billions bn b mrd mrd. milliarde milliarden milliard milliards miliardi "
            "miliardo bilhões bilhão miljard"),
    )
    for word in words.split()
}  # fmt: skip
#: these are also units (metres, bits) or words of another meaning
UNSURE_SCALES: Final = frozenset(("k", "m", "b"))

PERCENT: Final = (
    "%", "percent", "per cent", "pct", "prozent", "pour cent", "pourcent", "por ciento",
    "por cento", "per cento", "procent", "パーセント",
)  # fmt: skip
BASIS_POINTS: Final = ("bps", "bp", "basis points")

CURRENCIES: Final = _words(
    "usd eur gbp chf jpy cny inr aud cad brl sek nok dkk pln czk mxn krw rs kr fr us a c r hk nz"
)

MONTHS: Final[dict[str, int]] = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari",
            "february feb februar février fevrier févr fév fev febrero febbraio fevereiro februari",
            "march mar märz maerz mär mars marzo março marco maart mrt",
            "april apr avril avr abril abr aprile",
            "may mai mayo maggio mag maio mei",
            "june jun juni juin junio giugno giu junho",
            "july jul juli juillet juil julio luglio lug julho",
            "august aug août aout agosto ago augustus",
            "september sep sept septembre septiembre settembre set setembro",
            "october oct oktober okt octobre octubre ottobre ott outubro out",
            "november nov novembre noviembre novembro",
            "december dec dezember dez décembre decembre déc diciembre dic dicembre dezembro "
            "december",
        ),
        start=1,
    )
    for name in names.split()
}
#: ends of company names that are often left out or written otherwise
LEGAL_FORMS: Final = _words(
    "inc corp corporation co company ltd limited llc llp plc gmbh ag kg ohg se sa sas sarl srl spa "
    "sl bv nv oy ab as lda ltda pty"
)


def _group() -> dict[str, int]:
    groups: dict[str, int] = {}
    for number, line in enumerate(_NOTIONS.split("\n")):
        for word in line.split():
            groups.setdefault(word, number)
    return groups


#: word to the number of its notion
NOTION_OF: Final[dict[str, int]] = _group()
#: words of scripts without spaces, found inside longer runs
WIDE_WORDS: Final = tuple(
    sorted((word for word in NOTION_OF if word >= "\u2e80"), key=len, reverse=True)
)
