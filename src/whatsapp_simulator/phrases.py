"""What people say in the generated past: names and lines, as data.

``{thing}``, ``{price}``, ``{hour}`` and ``{name}`` are filled from the seed.
"""

from __future__ import annotations

FIRST_NAMES: dict[str, tuple[str, ...]] = {
    "en": ("Nora", "Elliot", "Priya", "Jonah", "Maeve", "Theo", "Imani", "Rhys", "Dalia", "Owen", "Greta", "Kofi"),
    "es": ("Lucía", "Íñigo", "Renata", "Tomás", "Ximena", "Joaquín", "Begoña", "Martín", "Abril", "Nicolás", "Zoé"),
    "pt": ("Beatriz", "Caetano", "Luana", "João", "Inês", "Thiago", "Conceição", "Davi", "Marília", "Otávio"),
}
LAST_NAMES: dict[str, tuple[str, ...]] = {
    "en": ("Whitcombe", "Adeyemi", "Park", "Sullivan", "Marsh", "Okafor", "Lindqvist", "Patel", "Brook", "Hale"),
    "es": ("Ferrán", "Quiroga", "Núñez", "Salcedo", "Ibáñez", "Montoya", "Peña", "Arriaga", "Cárdenas", "Vidal"),
    "pt": ("Amaral", "Figueiredo", "Brandão", "Queirós", "Assunção", "Moraes", "Leitão", "Sampaio", "Vasques"),
}
COUNTRIES: tuple[tuple[str, str, str, int], ...] = (
    # country, language, number prefix (with the area), digits after it
    ("MX", "es", "52155", 8),
    ("US", "en", "1415555", 4),
    ("BR", "pt", "55119", 8),
    ("ES", "es", "346", 8),
    ("AR", "es", "54911", 8),
    ("GB", "en", "4477009", 5),
    ("CO", "es", "57310", 7),
    ("PT", "pt", "35191", 7),
    ("IN", "en", "9198", 8),
)
THINGS: dict[str, tuple[str, ...]] = {
    "en": ("the lemon cake", "a dozen rolls", "the blue mug", "a birthday cake", "two loaves", "the gift box"),
    "es": ("la tarta de limón", "una docena de medialunas", "la taza azul", "el pastel de cumpleaños", "el pan"),
    "pt": ("o bolo de limão", "uma dúzia de pães", "a caneca azul", "o bolo de aniversário", "a caixa presente"),
}
CUSTOMER: dict[str, tuple[str, ...]] = {
    "en": (
        "Hi! Do you still have {thing}?",
        "How much is {thing}?",
        "Could I pick it up at {hour}?",
        "Perfect, thank you so much 🙏",
        "I'm outside, which door is it?",
        "Can you deliver on Saturday?",
        "It was delicious 😍",
        "Sorry, I'm running 10 minutes late",
        "Do you take cards?",
        "ok 👍",
        "Is there anything without nuts? My daughter is allergic.",
    ),
    "es": (
        "¡Hola! ¿Todavía tienen {thing}?",
        "¿Cuánto cuesta {thing}?",
        "¿Puedo pasar a las {hour}?",
        "Perfecto, mil gracias 🙏",
        "Estoy afuera, ¿qué puerta es?",
        "¿Hacen envíos el sábado?",
        "Estaba riquísimo 😍",
        "Perdón, llego diez minutos tarde",
        "¿Aceptan tarjeta?",
        "dale 👍",
        "¿Hay algo sin nueces? Mi hija es alérgica.",
    ),
    "pt": (
        "Oi! Vocês ainda têm {thing}?",
        "Quanto custa {thing}?",
        "Posso buscar às {hour}?",
        "Perfeito, muito obrigada 🙏",
        "Estou na porta, qual é a entrada?",
        "Entregam no sábado?",
        "Estava uma delícia 😍",
        "Desculpa, vou atrasar dez minutinhos",
        "Aceitam cartão?",
        "beleza 👍",
        "Tem algo sem nozes? Minha filha é alérgica.",
    ),
}
BUSINESS: dict[str, tuple[str, ...]] = {
    "en": (
        "Hello {name}! Yes, we do ☕",
        "{thing} is {price}",
        "Sure, see you at {hour}",
        "Your order is ready for pickup 🎂",
        "We close at 7 today",
        "The green door, next to the pharmacy",
        "Thank you, {name}!",
        "Yes, cards and cash",
        "We can deliver on Saturday before {hour}",
        "No worries, take your time",
    ),
    "es": (
        "¡Hola {name}! Sí, claro ☕",
        "{thing}: {price}",
        "Perfecto, te esperamos a las {hour}",
        "Tu pedido está listo 🎂",
        "Hoy cerramos a las 7",
        "La puerta verde, al lado de la farmacia",
        "¡Gracias, {name}!",
        "Sí, tarjeta y efectivo",
        "El sábado entregamos antes de las {hour}",
        "Tranquila, sin apuro",
    ),
    "pt": (
        "Olá {name}! Temos sim ☕",
        "{thing}: {price}",
        "Combinado, até as {hour}",
        "Seu pedido está pronto 🎂",
        "Hoje fechamos às 7",
        "A porta verde, ao lado da farmácia",
        "Obrigado, {name}!",
        "Sim, cartão e dinheiro",
        "No sábado entregamos antes das {hour}",
        "Sem pressa nenhuma",
    ),
}
CAPTIONS: dict[str, tuple[str, ...]] = {
    "en": ("like this one?", "this is the colour", "", "look what came out of the oven"),
    "es": ("¿como esta?", "este es el color", "", "mirá lo que salió del horno"),
    "pt": ("como esta?", "é esta cor", "", "olha o que saiu do forno"),
}
EMOJI = ("❤️", "👍", "😂", "🙏", "😮", "🎉")
